from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("traffic", "0003_naps"),
    ]

    operations = [
        migrations.AddField(
            model_name="trafficsettings",
            name="keep_alive",
            field=models.BooleanField(default=False),
        ),
    ]
