"""One server a file. Each is a module to run (``python -m bench.servers.floor``).

A server prints one line of JSON, ``{"port": …, "control": …}``, when it listens. On
``port`` it takes subscribers and tells each ``ready`` once it is subscribed; on ``control``
it takes the loads described in ``driver.py``.
"""
