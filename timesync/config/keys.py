"""The one table of everything a configuration file can say.

Rule: reading, checking, suggesting and documenting are all driven by `TABLES`; a key that is not here does not exist.
Each numeric key has both limits, each key a meaning and an example as TOML.
"""

from __future__ import annotations

from timesync.config.schema import Key, Table, Type

__all__ = ["TABLES", "find_key"]

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

SPOOL = Table(
    "spool",
    "The durable queue between measuring and the sinks.",
    (
        Key(
            "directory",
            Type.DIRECTORY,
            "where the queue and the history are kept; made if it is not there",
            '"/var/lib/timesync"',
            default_text="`STATE_DIRECTORY` from the environment (systemd sets it), else `/var/lib/timesync`",
            wrong_names=("path", "dir", "folder"),
        ),
        Key(
            "max_bytes",
            Type.SIZE,
            'how large the queue may become: a whole number, or text such as "2 GB" or "500 MiB"',
            '"2 GB"',
            unit="bytes",
            default=2_000_000_000,
            low=1_000_000,
            high=10**15,
            wrong_names=("max_size", "size", "limit"),
        ),
        Key(
            "when_full",
            Type.CHOICE,
            "what is given up, and counted, when the queue is full",
            '"drop_oldest"',
            default="drop_oldest",
            choices=("drop_oldest", "drop_newest"),
        ),
        Key(
            "durability",
            Type.CHOICE,
            "what a power cut may cost: `normal` about the last second, `full` nothing, for one fsync at every measurement",
            '"normal"',
            default="normal",
            choices=("normal", "full"),
        ),
    ),
    wrong_names=("buffer", "queue"),
)

HISTORY = Table(
    "history",
    "The embedded history, in the spool's directory.",
    (
        Key(
            "enabled",
            Type.SWITCH,
            "keep a local history",
            "true",
            default=True,
            wrong_names=("enable", "on"),
        ),
        Key(
            "retention_days",
            Type.DAYS,
            'how long it is kept; "forever" keeps everything',
            "400",
            unit="days",
            default=400.0,
            low=0.01,
            high=100_000,
            wrong_names=("retention", "days", "keep_days"),
        ),
    ),
)

INFLUXDB = Table(
    "influxdb",
    "One InfluxDB, or a database that speaks its protocol; as many as there are.",
    (
        Key(
            "name",
            Type.NAME,
            "names the sink's place in the queue: keep it when the URL changes",
            '"central"',
            required=True,
        ),
        Key(
            "url",
            Type.URL,
            "the server, without the path of its API",
            '"https://influx.example:8086"',
            required=True,
            wrong_names=("host", "address", "server"),
        ),
        Key(
            "api",
            Type.CHOICE,
            "`v2` writes to /api/v2/write (InfluxDB 2.x, 3 Core, 1.8 and later, VictoriaMetrics); `v1` to /write",
            '"v2"',
            default="v2",
            choices=("v2", "v1"),
            wrong_names=("version",),
        ),
        Key(
            "organisation",
            Type.TEXT,
            "v2: the organisation",
            '"metrology"',
            default="",
            wrong_names=("org", "organization"),
        ),
        Key("bucket", Type.TEXT, "v2: the bucket; must be said", '"timesync"', default=""),
        Key("database", Type.TEXT, "v1: the database; must be said", '"timesync"', default="", wrong_names=("db",)),
        Key(
            "retention_policy",
            Type.TEXT,
            "v1: the retention policy",
            '"autogen"',
            default="",
            default_text="the database's own",
            wrong_names=("rp",),
        ),
        Key("username", Type.TEXT, "v1: the user", '"timesync"', default="", wrong_names=("user",)),
        Key("token_file", Type.PRIVATE, "v2: a file that holds the token", '"influx.token"', wrong_names=("token",)),
        Key(
            "password_file",
            Type.PRIVATE,
            "v1: a file that holds the password",
            '"influx.password"',
            wrong_names=("password",),
        ),
        Key("batch_size", Type.INTEGER, "records in one request", "5000", default=5000, low=1, high=100_000),
        Key("timeout_s", Type.NUMBER, "for one request", "10", unit="s", default=10.0, low=0.1, high=600),
        Key("gzip", Type.SWITCH, "compress requests", "true", default=True, wrong_names=("compress", "enable_gzip")),
        Key(
            "verify_tls",
            Type.SWITCH,
            "check the server's certificate",
            "true",
            default=True,
            wrong_names=("verify_ssl", "tls_verify", "insecure"),
        ),
        Key(
            "ca_file",
            Type.FILE,
            "certificates to trust, PEM",
            '"ca.pem"',
            default_text="the system's",
            wrong_names=("ssl_ca_cert", "tls_ca", "ca"),
        ),
    ),
    many=True,
    wrong_names=("influx", "sink", "database"),
)

HTTP = Table(
    "http",
    "Where /metrics, /healthz and /readyz are served. There is no authentication: any address beyond loopback must be said.",
    (
        Key("enabled", Type.SWITCH, "serve them", "true", default=True, wrong_names=("enable", "on")),
        Key(
            "host",
            Type.TEXT,
            "the address to listen on",
            '"127.0.0.1"',
            default="127.0.0.1",
            wrong_names=("address", "listen", "bind"),
        ),
        Key("port", Type.INTEGER, "the TCP port; 0 takes a free one", "9787", default=9787, low=0, high=65_535),
    ),
    wrong_names=("prometheus", "metrics", "web"),
)

STABILITY = Table(
    "stability",
    "Stability of each target against UTC(k), computed as the samples come and kept across restarts. It takes about 33 MB of "
    "memory (numpy) and 0.1 MB a target; 100 targets polled every second take less than 1 % of a core.",
    (
        Key("enabled", Type.SWITCH, "compute them", "true", default=True, wrong_names=("enable", "on")),
        Key(
            "statistics",
            Type.CHOICES,
            "which statistics",
            '["oadev", "tdev", "mtie"]',
            default=("oadev", "tdev", "mtie"),
            choices=("adev", "oadev", "mdev", "tdev", "hdev", "ohdev", "tierms", "mtie"),
            wrong_names=("statistic", "deviations"),
        ),
        Key(
            "taus",
            Type.CHOICE,
            "which averaging times, in intervals of the target: `octave` 1, 2, 4, 8 ..., `decade` 1, 2, 4, 10, 20 ...",
            '"octave"',
            default="octave",
            choices=("octave", "decade"),
            wrong_names=("tau",),
        ),
        Key(
            "longest_tau_s",
            Type.NUMBER,
            "the longest averaging time",
            "86400",
            unit="s",
            default=86_400.0,
            low=1,
            high=30 * DAY_S,
        ),
        Key(
            "exact_intervals",
            Type.INTEGER,
            "averaging times up to so many intervals are computed from every term; longer ones from every 16th to 31st part of an "
            "averaging time, under names that say so (`oadev_strided`, `mtie_bounds`); memory grows with it, 200 bytes each",
            "16",
            default=16,
            low=1,
            high=100_000,
        ),
        Key(
            "every_s",
            Type.NUMBER,
            "how often they are stored and shown",
            "600",
            unit="s",
            default=600.0,
            low=1,
            high=DAY_S,
            wrong_names=("interval_s", "interval"),
        ),
        Key(
            "window_days",
            Type.INTEGER,
            "over how many UTC days, today's included",
            "7",
            unit="days",
            default=7,
            low=1,
            high=400,
            wrong_names=("window", "days"),
        ),
        Key(
            "coverage",
            Type.NUMBER,
            "probability covered by the confidence intervals",
            "0.683",
            default=0.683,
            low=0.5,
            high=0.999,
            wrong_names=("ci", "confidence"),
        ),
        Key(
            "targets_at_most",
            Type.INTEGER,
            "with more targets than this nothing is computed, so that a large probe stays small; raise it where there is memory",
            "100",
            default=100,
            low=0,
            high=100_000,
            wrong_names=("max_targets",),
        ),
    ),
    wrong_names=("statistics", "allan"),
)

LOG = Table(
    "log",
    "What the daemon says of itself.",
    (
        Key(
            "level",
            Type.CHOICE,
            "the least level that is written",
            '"info"',
            default="info",
            choices=("debug", "info", "warning", "error"),
        ),
        Key(
            "format",
            Type.CHOICE,
            "`text` for people, `json` for machines; `auto` is json where there is no terminal",
            '"auto"',
            default="auto",
            choices=("auto", "text", "json"),
        ),
    ),
    wrong_names=("logging",),
)

TABLES: tuple[Table, ...] = (
    SITE,
    TARGET,
    REFERENCE,
    LOCAL_REFERENCE,
    KEYS,
    CLOCK,
    NAMES,
    UNCERTAINTY,
    SPOOL,
    HISTORY,
    INFLUXDB,
    HTTP,
    STABILITY,
    LOG,
)


def find_key(table: str, name: str) -> Key:
    """The key of that name in that table. Raises `KeyError` where there is none."""
    for candidate in TABLES:
        for key in candidate.keys:
            if (candidate.name, key.name) == (table, name):
                return key
    raise KeyError(f"{table}.{name}")
