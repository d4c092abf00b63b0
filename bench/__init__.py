"""The hub beside its peers: the same load, the same machine, the same run.

``python -m bench`` starts every server as a process of its own (``servers/``), pins it to
one CPU, and lets a load generator on another CPU (``client.py``) subscribe to it. The
*servers* make the messages, so that what is measured is only what fan-out costs: the CPU
time of the server process for one message delivered to one subscriber.
"""
