"""The live host of strategies: the class that is backtested, over the public API."""
