"""DNS as certd needs it for dns-01 (RFC 8555 §8.4): where a proof belongs, and whether the world can see it.

`authorities` finds the name and zone, `propagation` waits, `resolve` and `ask` put questions, `settings` are the
options. Import the module you need: this package itself stays free of dnspython, which costs 60 ms to import.
"""
