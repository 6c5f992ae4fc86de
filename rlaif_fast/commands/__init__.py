"""The commands, one a file. Each parses, calls the library and prints; heavy imports wait for the call."""
