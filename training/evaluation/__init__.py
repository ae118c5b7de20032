"""How good a world model is: its predictions beside what was recorded, and beside baselines."""
