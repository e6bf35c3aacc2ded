"""A passive observer of PTP and NTP: frames with their capture times go in, a report comes out. Without I/O.

Rule: it asks nothing, sends nothing and reads no clock. Time is the capture's, in integer nanoseconds. Whatever the octets, nothing
is raised: what cannot be read is counted by its reason. Memory is bounded whatever the length of the capture (see `observer.py`).

What a passive observer can know, and what it cannot:

- Where a question and its answer pass the capture point, their instants there and the answerer's own timestamps are a whole two-way
  exchange between the capture point and the answerer: its clock minus the capture's clock, with half of that round trip as the
  bound. The asker's own place, delay and clock play no part in it.
- Of the asker's clock nothing is known, unless the asker answers questions itself (peer delay), or tells its time in its requests.
- Of one direction alone a one-sided limit is known: a message cannot pass before it has left.
- A message that is missing may never have been sent, or was lost on its way here, or by the capture itself.
- The capture's clock is taken for UTC. What it is wrong by is in every offset, and cancels in the difference of two.

    frames.py      octets of a link layer -> a datagram of PTP or NTP, or why not
    tally.py       running statistics, timelines, sequence numbers: exact, and of bounded size
    findings.py    what can be wrong, with names
    report.py      the result
    ptp.py         PTP messages by port (ports.py): rates in streams.py, Sync with Follow_Up in syncs.py, questions with answers in
                   questions.py, their times in exchanges.py
    profiles.py    which profile a domain follows
    summary.py     what the PTP messages come to at the end
    ntp.py         NTP requests with their replies
    observer.py    all of it together
"""
