"""What a server supports of its protocol, and where it deviates: asked with small requests, told in plain sentences.

wire.py        requests and answers
protocols.py   which server it is, and what its protocol promises
session.py     one server under examination: its model, and answers that several checks look at
basics.py, lengths.py, tools.py, timing.py, errors.py, native.py     the checks
suite.py       all of them in order
outcome.py     what comes of it
"""
