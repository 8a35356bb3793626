"""Published claims as tests: each is declared with its source, compares measured quantities, and gets a verdict."""
