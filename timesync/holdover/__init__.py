"""Holdover: detection, prediction and scoring of a clock that has lost its source; numpy only."""
