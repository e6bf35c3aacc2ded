"""What a configuration file can say about alerts: limits, who is told, how patiently."""

from __future__ import annotations

from timesync.alerts.kinds import KINDS, Level, Scope
from timesync.config.schema import Key, Table, Type

__all__ = ["ALERTS", "LIMIT", "NOTIFY"]

ALERTS = Table(
    "alerts",
    "What is told when something is wrong. Alerts are events in the history, and metrics; `[[notify]]` says who is told besides. "
    "[RUNBOOKS.md](RUNBOOKS.md) has what each means and what to do.",
    (
        Key("enabled", Type.SWITCH, "judge what is measured", "true", default=True, wrong_names=("enable", "on")),
        Key(
            "default_limit",
            Type.NAME,
            "the limit of every target that names none: a name below, or of a `[[limit]]`",
            '"rts25-100us"',
            default="",
            default_text="none: limits are not judged",
            wrong_names=("limit",),
        ),
        Key(
            "patience",
            Type.NUMBER,
            "multiplies how long a condition must hold before it is told, and be gone before it is told to be over",
            "1",
            default=1.0,
            low=0,
            high=100,
            wrong_names=("delay", "grace"),
        ),
        Key(
            "off",
            Type.CHOICES,
            "alerts that are not wanted",
            '["grandmaster_change"]',
            default=(),
            choices=tuple(kind.name for kind in KINDS if kind.scope is not Scope.MONITOR),
            wrong_names=("disabled", "mute"),
        ),
    ),
    wrong_names=("alert", "alarms", "alerting"),
)

LIMIT = Table(
    "limit",
    "A limit of |target - UTC(k)| under a name of your own, beside those that come with timesync.",
    (
        Key("name", Type.NAME, "its name, for `limit` of targets", '"house-10us"', required=True),
        Key(
            "error_s",
            Type.NUMBER,
            "the limit",
            "10e-6",
            unit="s",
            required=True,
            low=1e-12,
            high=3600,
            wrong_names=("limit_s", "value_s", "error", "offset_s"),
        ),
    ),
    many=True,
    wrong_names=("limits", "profile"),
)

NOTIFY = Table(
    "notify",
    "Who is told of alerts, with no Prometheus needed; as many as there are. A webhook gets Alertmanager's JSON (version 4); a "
    "command gets text on its standard input, as `mail` wants it, a subject in TIMESYNC_SUBJECT and the JSON in TIMESYNC_ALERTS; "
    "syslog gets a line for each.",
    (
        Key("name", Type.NAME, "its name in messages and metrics", '"on-call"', required=True),
        Key("kind", Type.CHOICE, "the way", '"webhook"', required=True, choices=("webhook", "syslog", "command")),
        Key("url", Type.URL, "webhook: where it is sent", '"https://example.org/hook"', wrong_names=("address",)),
        Key(
            "token_file",
            Type.PRIVATE,
            "webhook: a file that holds a token, sent as `Authorization: Bearer`",
            '"hook.token"',
            wrong_names=("token", "secret", "secret_file"),
        ),
        Key(
            "command",
            Type.TEXT,
            "command: the program and its words, as a shell would split them; no shell is used",
            '"/usr/local/bin/mail-on-call --now"',
            wrong_names=("program", "exec"),
        ),
        Key(
            "least",
            Type.CHOICE,
            "the least level that is told",
            '"warning"',
            default="warning",
            choices=tuple(level.value for level in Level),
            wrong_names=("level", "severity"),
        ),
        Key(
            "repeat_s",
            Type.NUMBER,
            "what still fires is told again after so long; 0: once only",
            "14400",
            unit="s",
            default=14_400.0,
            low=0,
            high=30 * 86_400,
            wrong_names=("repeat_interval",),
        ),
        Key("timeout_s", Type.NUMBER, "for one try", "10", unit="s", default=10.0, low=0.1, high=600),
    ),
    many=True,
    wrong_names=("notification", "notifications", "receiver", "webhook"),
)
