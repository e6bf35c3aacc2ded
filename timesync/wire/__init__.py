"""Bytes to messages and back: one codec a file, integers only, standard library only."""
