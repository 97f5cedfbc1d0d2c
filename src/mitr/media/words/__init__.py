"""What is said in clips: transcripts beside them, and speech recognition."""
