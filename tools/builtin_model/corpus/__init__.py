"""The training text of the built-in model: our own grammars, nothing foreign. See make_corpus."""
