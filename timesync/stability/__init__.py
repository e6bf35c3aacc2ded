"""Frequency stability statistics (NIST SP 1065, ITU-T G.810): arrays in, results out, numpy only."""
