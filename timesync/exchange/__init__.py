"""Protocol state machines without I/O: time and bytes go in, events come out."""
