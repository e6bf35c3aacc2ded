"""Alerts: what is wrong now, since when, and what to do; pure, with time as a parameter.

`limits` has the limits by name, `kinds` the one description of every alert, `facts` what an alert is judged by, `book` the states,
`prometheus` the same alerts as rules for Prometheus. The shell is `timesync/alert_service.py`, messengers `timesync/notify.py`.
"""
