"""Whose fault is it? The probe's clock, the path, the server or the reference, told apart by what moves together."""
