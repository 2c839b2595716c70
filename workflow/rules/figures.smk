# Figures: one job per picture, each one library function. Captions are in workflow/report/.
