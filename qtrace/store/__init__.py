"""Files on disk: the index (SQLite) and the run format (JSON and Parquet)."""
