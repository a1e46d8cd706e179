"""Ten bugs, each a subclass of what it breaks, and the scenarios in which they are looked for."""
