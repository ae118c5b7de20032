"""How a WorldNet is made: from games, from long recordings, from annotated data sets."""
