"""The live host of strategies: the class that is backtested, event by event, as they come.

`alphintra trade` runs it over HTTP, a deployment in a sandboxed process; what is decided is the
same.
"""
