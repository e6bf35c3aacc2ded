"""What a configuration file can say about measuring: who measures, which clocks, against what."""

from __future__ import annotations

from timesync.config.schema import Key, Table, Type

__all__ = ["CLOCK", "KEYS", "LOCAL_REFERENCE", "NAMES", "REFERENCE", "SITE", "TARGET", "UNCERTAINTY"]

# The least interval that is accepted at all. 20 polls a second is a laboratory's own server; a public one would rightly
# answer with RATE (RFC 5905 section 7.4).
LEAST_INTERVAL_S = 0.05
DAY_S = 86_400

SITE = Table(
    "site",
    "Who measures. Both names become tags and labels of every record: choose them once.",
    (
        Key("name", Type.NAME, "the institution", '"NIM"', required=True, wrong_names=("site", "institution")),
        Key("probe", Type.NAME, "this probe at the institution", '"probe-1"', required=True, wrong_names=("hostname",)),
        Key(
            "latitude",
            Type.NUMBER,
            "where the probe stands, north positive, for the map",
            "40.24",
            unit="degrees",
            low=-90,
            high=90,
            wrong_names=("lat",),
        ),
        Key(
            "longitude",
            Type.NUMBER,
            "where the probe stands, east positive, for the map",
            "116.20",
            unit="degrees",
            low=-180,
            high=180,
            wrong_names=("lon", "lng", "long"),
        ),
    ),
    required=True,
    wrong_names=("institution", "probe", "global"),
)


TARGET = Table(
    "target",
    "One clock to measure; as many as there are clocks. With `realises` the target is a reference.",
    (
        Key("name", Type.NAME, "the target's name: unique, and not `local`", '"ntp1"', required=True),
        Key("kind", Type.NAME, "the probe kind that measures it", '"ntp"', default="ntp", wrong_names=("protocol",)),
        Key(
            "address",
            Type.TEXT,
            "where it is: for ntp a host, `host:port` or `[IPv6]:port`",
            '"ntp1.example:123"',
            required=True,
            wrong_names=("host", "hostname", "server", "ip", "url"),
        ),
        Key(
            "interval_s",
            Type.NUMBER,
            "the time from one poll (or burst) to the next",
            "16",
            unit="s",
            default=16.0,
            low=LEAST_INTERVAL_S,
            high=DAY_S,
            wrong_names=("poll", "period", "frequency", "every", "interval"),
        ),
        Key(
            "timeout_s",
            Type.NUMBER,
            "how long to wait for a reply before it counts as lost",
            "1",
            unit="s",
            default=1.0,
            default_text="`1`, or less where the interval leaves less room",
            low=0.001,
            high=60,
        ),
        Key(
            "burst",
            Type.INTEGER,
            "exchanges in each turn",
            "4",
            default=1,
            low=1,
            high=64,
            wrong_names=("iburst", "count", "samples"),
        ),
        Key(
            "burst_spacing_s",
            Type.NUMBER,
            "the time from one exchange of a burst to the next",
            "0.25",
            unit="s",
            default=0.25,
            low=0.01,
            high=60,
        ),
        Key(
            "reference",
            Type.NAME,
            "the reference it is compared with: the name of a target that has `realises`, or `local`",
            '"utc-nim"',
            default_text="`default` of `[reference]`, else the first target that has `realises`, else `local`",
        ),
        Key(
            "realises",
            Type.UTC_K,
            "makes the target a reference: the UTC(k) that it realises",
            '"UTC(NIM)"',
            wrong_names=("realizes", "utc", "utc_k"),
        ),
        Key(
            "tie_bound_s",
            Type.NUMBER,
            "reference minus UTC(k) cannot exceed this; must be said where `realises` is",
            "100e-9",
            unit="s",
            low=0,
            high=1,
            wrong_names=("bound_s",),
        ),
        Key(
            "tie_u_s",
            Type.NUMBER,
            "standard uncertainty (k = 1) of reference minus UTC(k); must be said where `realises` is",
            "20e-9",
            unit="s",
            low=0,
            high=1,
            wrong_names=("u_s", "uncertainty_s"),
        ),
        Key(
            "tie_valid_until",
            Type.INSTANT,
            "when the tie ends: a date counts to its end, UTC; after it no UTC(k) claim is made",
            "2027-06-30",
            default_text="no end declared",
            wrong_names=("valid_until",),
        ),
    ),
    many=True,
    required=True,
    extensible=True,
    wrong_names=("targets", "server", "servers", "ntp", "clock_target"),
)


REFERENCE = Table(
    "reference",
    "How references are used.",
    (
        Key(
            "default",
            Type.NAME,
            "the reference of every target that names none",
            '"utc-nim"',
            default_text="the first target that has `realises`, else `local`",
            wrong_names=("name",),
        ),
        Key(
            "max_age_s",
            Type.NUMBER,
            "how old a reference's measurement may be and still carry a claim",
            "64",
            unit="s",
            default=64.0,
            low=0.1,
            high=DAY_S,
        ),
    ),
    wrong_names=("references",),
)


LOCAL_REFERENCE = Table(
    "local_reference",
    'Declares that the probe\'s own clock realises a UTC(k); targets then may say `reference = "local"`.',
    (
        Key("realises", Type.UTC_K, "the UTC(k) that the host clock realises", '"UTC(NIM)"', required=True),
        Key(
            "bound_s",
            Type.NUMBER,
            "host clock minus UTC(k) cannot exceed this",
            "1e-6",
            unit="s",
            required=True,
            low=0,
            high=1,
            wrong_names=("tie_bound_s",),
        ),
        Key(
            "u_s",
            Type.NUMBER,
            "standard uncertainty (k = 1) of host clock minus UTC(k)",
            "200e-9",
            unit="s",
            required=True,
            low=0,
            high=1,
            wrong_names=("tie_u_s",),
        ),
        Key(
            "valid_until",
            Type.INSTANT,
            "when the tie ends: a date counts to its end, UTC; after it no UTC(k) claim is made",
            "2027-06-30",
            default_text="no end declared",
            wrong_names=("tie_valid_until",),
        ),
        Key(
            "settle_s",
            Type.NUMBER,
            "how long nothing is claimed by the host clock after it was stepped, or its machine slept",
            "300",
            unit="s",
            default=300.0,
            low=0,
            high=DAY_S,
            wrong_names=("settle", "settling_s"),
        ),
    ),
    wrong_names=("local",),
)


KEYS = Table(
    "keys",
    "Symmetric keys for authenticated servers.",
    (
        Key(
            "file",
            Type.KEYS,
            "the keys: `NUMBER TYPE SECRET` on a line, as chrony and ntpd have it",
            '"ntp.keys"',
            wrong_names=("path", "key_file"),
        ),
    ),
    wrong_names=("key", "authentication"),
)


CLOCK = Table(
    "clock",
    "The probe's own clock.",
    (
        Key(
            "oscillator_ppm",
            Type.NUMBER,
            "how far the oscillator's rate may be off (RFC 5905 assumes 15)",
            "15",
            unit="ppm",
            default=15.0,
            low=1e-6,
            high=500,
        ),
        Key(
            "leap_seconds_file",
            Type.FILE,
            "a leap-seconds.list, which servers' announcements of leap seconds are compared with",
            '"/usr/share/zoneinfo/leap-seconds.list"',
            default_text="the system's or the one that comes with timesync, whichever expires later",
        ),
    ),
)


NAMES = Table(
    "names",
    "Host names of targets.",
    (
        Key(
            "resolve_again_s",
            Type.NUMBER,
            "how often names are resolved again",
            "600",
            unit="s",
            default=600.0,
            low=1,
            high=30 * DAY_S,
        ),
    ),
    wrong_names=("dns",),
)


UNCERTAINTY = Table(
    "uncertainty",
    "How uncertainty is stated.",
    (
        Key(
            "coverage_factor",
            Type.NUMBER,
            "U = coverage_factor * u (the GUM's k)",
            "2",
            default=2.0,
            low=1,
            high=10,
            wrong_names=("k",),
        ),
    ),
)
