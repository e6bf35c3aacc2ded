"""What a configuration file can say about results: where they are kept and sent, what is computed of them and shown."""

from __future__ import annotations

from timesync.config.schema import Key, Table, Type

__all__ = ["HISTORY", "HOLDOVER", "HTTP", "INFLUXDB", "LOG", "SPOOL", "STABILITY", "UTC"]

DAY_S = 86_400
MASKED = ("g811", "prtc-a", "prtc-b", "eprtc", "eec-1", "g8273.2-a", "g8273.2-b", "g8273.2-c")
"""The profiles that have masks; `timesync.stability.mask_table` has them, which needs numpy."""

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
        Key(
            "batch_size", Type.INTEGER, "records in one request (2 kB each)", "1000", default=1000, low=1, high=100_000
        ),
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
    "Where the page and its API, /metrics, /healthz and /readyz are served. An address beyond loopback takes TLS and a token or "
    "passwords, which every request must then carry; /healthz and /readyz say without them whether all is well, and no more.",
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
        Key(
            "tls_certificate",
            Type.FILE,
            "the server's certificate and what it is signed by, PEM; a renewed one is taken without a restart, but for "
            "one that is a credential of systemd or the mount of a container",
            '"probe.crt"',
            wrong_names=("certificate", "cert", "tls_cert", "ssl_certificate", "cert_file"),
        ),
        Key(
            "tls_key",
            Type.PRIVATE,
            "a file that holds the certificate's key, PEM",
            '"probe.key"',
            wrong_names=("key_file", "private_key", "ssl_key"),
        ),
        Key(
            "token_file",
            Type.PRIVATE,
            "a file that holds the token of programs (Authorization: Bearer); a browser may give it as the password of `token`",
            '"page.token"',
            wrong_names=("token", "bearer_token"),
        ),
        Key(
            "password_file",
            Type.PRIVATE,
            "a file with a line for each person, as `timesync password NAME` prints it: the passwords hashed",
            '"page.passwords"',
            wrong_names=("password", "passwords", "htpasswd", "basic_auth"),
        ),
        Key(
            "hsts",
            Type.SWITCH,
            "tell browsers to come to this host name by TLS only, for a year and **on every port**: whatever else it serves by "
            "plain HTTP (a Grafana on port 3000) they refuse from then on (RFC 6797)",
            "true",
            default=False,
            wrong_names=("strict_transport_security", "strict_transport"),
        ),
    ),
    wrong_names=("prometheus", "metrics", "web"),
)


HOLDOVER = Table(
    "holdover",
    "Whether each target is locked to its source or coasting, how far off it will be, and how long it stays within the limits; "
    "with numpy's memory of `[stability]`, and 0.1 MB a target.",
    (
        Key("enabled", Type.SWITCH, "compute them", "true", default=True, wrong_names=("enable", "on")),
        Key(
            "limits_s",
            Type.NUMBERS,
            "time errors not to leave: the time to each of them is told; the smallest is the specification of a holdover for "
            "targets without a limit of their own",
            "[1e-6, 1e-3]",
            unit="s",
            default=(1e-6, 1e-3),
            low=1e-12,
            high=10.0,
            wrong_names=("limit_s", "limits", "limit"),
        ),
        Key(
            "horizon_s",
            Type.NUMBER,
            "how far ahead is looked",
            "86400",
            unit="s",
            default=86_400.0,
            low=60,
            high=90 * DAY_S,
            wrong_names=("horizon",),
        ),
        Key(
            "confidence",
            Type.NUMBER,
            "probability of the bands, and of staying within a limit for the time told",
            "0.95",
            default=0.95,
            low=0.5,
            high=0.999,
            wrong_names=("coverage", "ci"),
        ),
        Key(
            "every_s",
            Type.NUMBER,
            "how often forecasts are made, stored and shown",
            "600",
            unit="s",
            default=600.0,
            low=1,
            high=DAY_S,
            wrong_names=("interval_s", "interval"),
        ),
        Key(
            "targets_at_most",
            Type.INTEGER,
            "with more targets than this nothing is computed, so that a large probe stays small (event `holdover_off`); 1,000 "
            "targets take some 2 % of a core and 0.1 GB: raise it where there is memory",
            "100",
            default=100,
            low=0,
            high=100_000,
            wrong_names=("max_targets",),
        ),
    ),
    wrong_names=("hold_over", "prediction", "forecast"),
)


STABILITY = Table(
    "stability",
    "Stability of each target against its reference and against the probe's clock, computed as the samples come and kept across "
    "restarts. It takes about 33 MB of memory (numpy) and 0.1 MB a series; 100 series of a sample every second take less than "
    "1 % of a core.",
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
            "masks",
            Type.CHOICES,
            "whose MTIE and TDEV masks are exported, to be drawn beside the curves; `timesync stability --mask` judges by them",
            '["prtc-a"]',
            default=(),
            choices=MASKED,
            wrong_names=("mask", "profiles"),
        ),
        Key(
            "targets_at_most",
            Type.INTEGER,
            "with more targets than this nothing is computed, so that a large probe stays small (event `stability_off`); "
            "a target takes 0.1 MB, one that is compared with a reference too 0.2 MB: raise it where there is memory",
            "100",
            default=100,
            low=0,
            high=100_000,
            wrong_names=("max_targets",),
        ),
        Key(
            "probe_clock",
            Type.CHOICE,
            "whose stability against the probe's clock is computed: of `all` targets, or of the `unreferenced`, those that are "
            "compared with no other clock, which saves 0.1 MB for each of the others",
            '"unreferenced"',
            default="all",
            choices=("all", "unreferenced"),
            wrong_names=("own", "probe"),
        ),
    ),
    wrong_names=("statistics", "allan"),
)


UTC = Table(
    "utc",
    "Where what the BIPM publishes is fetched: nowhere, unless an address is given. `timesync circular-t import` takes files.",
    (
        Key(
            "api_url",
            Type.URL,
            "the BIPM web API, asked for UTC and UTCr of the UTC(k) that references realise",
            '"https://webtai.bipm.org/api/v1.0/get-data.html"',
            default="",
            default_text="none",
            wrong_names=("url", "address"),
        ),
        Key(
            "circular_t_url",
            Type.URL,
            "Circular T as text; `{issue}` stands for the number of an issue",
            '"https://webtai.bipm.org/ftp/pub/tai/Circular-T/cirt/cirt.{issue}"',
            default="",
            default_text="none",
            wrong_names=("cirt_url", "circular_url"),
        ),
        Key(
            "every_s",
            Type.NUMBER,
            "how often is asked whether there is something new",
            "21600",
            unit="s",
            default=21_600.0,
            low=600,
            high=30 * 86_400,
            wrong_names=("interval_s", "poll_s"),
        ),
        Key(
            "timeout_s",
            Type.NUMBER,
            "how long an answer may take",
            "60",
            unit="s",
            default=60.0,
            low=1,
            high=600,
        ),
    ),
    wrong_names=("bipm", "circular_t"),
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
