"""Language models fine-tuned end to end: a weak one labels, a strong one learns, and what foretold the error."""
