"""From the sweeps' tables to regimes, summaries, trends and verdicts."""
