"""A lab, an index and a run become a post of the series, in any of its languages, for any site."""
