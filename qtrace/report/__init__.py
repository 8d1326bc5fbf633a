"""Renders runs and walks as Markdown, HTML and SVG."""
