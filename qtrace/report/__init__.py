"""Runs and walks become Markdown, HTML and SVG."""
