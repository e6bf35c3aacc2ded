"""From clock offsets to time error against UTC(k)."""
