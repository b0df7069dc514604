"""Who answers on ports 80 and 443: bound or passed sockets, files under a webroot, and what goes out on them.

The answers are the proof rows themselves (`ProofLookup`); nothing here remembers a proof beyond one connection, but for
the certificates made for tls-alpn-01. Every byte from a visitor is hostile (design, invariant 7).
"""
