"""What has been measured survives: the durable spool, the embedded history and the remote sinks.

How a daemon uses it::

    sinks = [HistorySink(directory / "history.sqlite3", settings.history.retention_days, clock_ns=..., report=...),
             *(InfluxSink(each) for each in settings.influx)]
    spool = Spool(settings.spool, [sink.name for sink in sinks], clock_ns=time.time_ns)
    delivery = Delivery(spool, sinks, clock_ns=time.time_ns, uniform=random.random, report=on_event)
    task = group.create_task(delivery.run())

    spool.append(records)      # on the event loop, for every measured batch: on the disk when it returns
    delivery.wake()            # fresh records go out after a short gathering
    delivery.status()          # SpoolStatus, for metrics and health

    await delivery.stop(deadline_s=5)   # flush; closes the sinks; what did not go out stays in the spool
    spool.close()

`report` hears of every outage, recovery, refusal, drop and repair as a `model.Event`, on the event loop. To change the
sinks: stop the delivery, `await spool.in_worker(spool.set_sinks, names)`, run a new delivery. To ask about the past, also
from another process: `History(path, read_only=True)` and its `records`, `columns`, `latest`, `targets` (blocking: from an
event loop call them with `asyncio.to_thread`). This package imports nothing here, so that `timesync --help` stays quick.
"""
