"""The live host of strategies over the public API; the host itself is `alphintra.sdk.live`."""
