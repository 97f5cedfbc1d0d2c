"""From a video or audio file to features: decoding, words, sounds, faces, and what is missing of them."""
