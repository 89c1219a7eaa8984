"""What the stages compute that check the law, on small losses and on networks."""
