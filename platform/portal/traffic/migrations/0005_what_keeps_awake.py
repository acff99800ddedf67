from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("traffic", "0004_keep_alive"),
    ]

    operations = [
        migrations.AddField(
            model_name="trafficsettings",
            name="jobs_keep_awake",
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name="trafficsettings",
            name="workers_keep_awake",
            field=models.BooleanField(default=False),
        ),
    ]
