"""Question and images -> reply in words. Owns how a judge is reached and how its replies are kept; knows no benchmark's rubric."""
