"""Run folders: what training leaves behind, and how a network is built from it again."""
