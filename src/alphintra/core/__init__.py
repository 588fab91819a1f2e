"""The vocabulary of the product: money, ids, time, instruments, orders, market data. Pure,
no I/O.
"""
