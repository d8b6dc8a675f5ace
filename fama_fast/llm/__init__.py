"""Language models: prompts, clients of their servers, grammars for answers, and the parsing of answers."""
