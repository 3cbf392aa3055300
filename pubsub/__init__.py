"""The doorbell: a ring says "look at the log", never what stands in it.

It carries no facts, so losing a ring loses nothing but a second.
"""
