"""PTP messages (IEEE 1588-2019), bytes to objects and back: integers only, standard library only.

Rule: what a decodable message holds is in the object, reserved fields included, so that `encode(decode(b)) == b` for the octets
that messageLength covers. Unknown message types, TLVs and management identifiers are kept as octets. Nothing but `WireError` is
raised, whatever the bytes. Values are the wire's own: flags, signed correctionField in 2^-16 ns, signed logMessageInterval.

    header.py      the common header (clause 13.3), port identities, timestamps (clause 5.3)
    message.py     the bodies of the message types (clauses 13.5 to 13.12, 15.4) and the codec of a whole message
    tlv.py         TLVs (clause 14; IEEE 802.1AS-2020 clause 11.4.4.3 for the Follow_Up information)
    management.py  the data sets of management messages (clause 15.5) and of the linuxptp stack
"""
