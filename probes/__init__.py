"""The instruments: the only code that touches the network to measure.

`probes` may import `timesync`; `timesync` never imports `probes`, it finds them by the entry point group
`timesync.probes`.
"""
