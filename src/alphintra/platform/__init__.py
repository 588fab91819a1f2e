"""The ground everything stands on: settings, database, events, jobs, HTTP manners, telemetry. No
domain word.
"""
