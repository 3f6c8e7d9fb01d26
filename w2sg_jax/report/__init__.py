"""Results for readers: tables, figures and the JSON record of a run."""
