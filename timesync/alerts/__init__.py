"""Alerts: what is wrong now, since when, and what to do; pure, with time as a parameter.

`limits` has the limits by name, `kinds` the one description of every alert, `signals` and `facts` what it is judged by, `book` the
states; `prometheus` and `grafana` are the same alerts as rules, `runbooks` as pages. The shell is `timesync/alert_service.py`,
messengers `timesync/notify.py`.
"""
