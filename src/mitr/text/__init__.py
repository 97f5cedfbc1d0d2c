"""Text: token ids or raw text through a Hugging Face encoder, or embeddings that were made before."""
