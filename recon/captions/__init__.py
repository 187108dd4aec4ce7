"""What activity says in words: caption embeddings predicted from responses."""
