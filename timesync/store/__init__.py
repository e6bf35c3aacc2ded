"""What has been measured survives: the durable spool, the embedded history and the remote sinks."""
