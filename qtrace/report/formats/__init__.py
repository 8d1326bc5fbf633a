"""What a document, a walk or sampled frames are written as, one format a file."""
