"""Faces in pictures: detection, landmarks, following, and the features made of them."""
