"""Commands: parse options, call, print. Imports every room; heavy ones inside the functions, so --help is quick."""
